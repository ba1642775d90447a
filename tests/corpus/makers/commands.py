"""Command lines that cannot be run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..cases import FOLDER, Case
from .damage import npy, npz

X = npz(x=(np.arange(2 * 16) * 7).astype(np.uint8).reshape(2, 1, 4, 4), y=np.array([0, 1]))
UNLABELLED = npz(x=np.zeros((2, 1, 4, 4), np.uint8))
LINEAR = ["--model", "tests.corpus.networks:tiny", "--data", "a.npz"]
CERTIFY = ["certify", *LINEAR, "--num-classes", "3", "--n0", "5", "--n", "20", "--seed", "5", "--quiet", "--out", "run"]
SIGMA = ["--sigma", "0.25"]

NOTHING: dict[str, list[str]] = {
    "an unknown command": ["certfy"],
    "an unknown option": ["--colour"],
    "an unknown option of a command": ["certify", "--sgima", "0.25"],
    "an option that is almost known": ["certify", "--num-class", "3"],
    "certify without anything": ["certify"],
    "certify without data": ["certify", "--model", "tests.corpus.networks:tiny", "--out", "run", *SIGMA],
    "certify without a model": ["certify", "--data", "a.npz", "--out", "run", *SIGMA],
    "certify without a place": ["certify", *LINEAR, *SIGMA],
    "certify with an argument too many": [*CERTIFY, *SIGMA, "extra"],
    "predict without anything": ["predict"],
    "status without a run": ["status"],
    "status of two runs": ["status", "a", "b"],
    "recertify without a run": ["recertify"],
    "export without a run": ["export"],
    "plan without radii": ["plan", *SIGMA],
    "plan without noise": ["plan", "--radii", "0.5"],
    "plan at a radius below zero": ["plan", *SIGMA, "--radii", "-0.5"],
    "plan at a radius that is no number": ["plan", *SIGMA, "--radii", "nan"],
    "plan at an infinite radius": ["plan", *SIGMA, "--radii", "inf"],
    "plan at no radius": ["plan", *SIGMA, "--radii", ""],
    "plan at the same radius twice": ["plan", *SIGMA, "--radii", "0.1,0.1"],
    "plan at two levels": ["plan", "--sigma", "0.25,0.5", "--radii", "0.1"],
    "plan with alpha 2": ["plan", *SIGMA, "--radii", "0.1", "--alpha", "2"],
    "plan with alpha that is no number": ["plan", *SIGMA, "--radii", "0.1", "--alpha", "nan"],
    "plan with n of zero": ["plan", *SIGMA, "--radii", "0.1", "--n", "0"],
    "plan with n of 10^12": ["plan", *SIGMA, "--radii", "0.1", "--n", "1000000000000"],
    "plan with a norm below zero": ["plan", *SIGMA, "--radii", "0.1", "--norm", "-1"],
    "plan with dim of zero": ["plan", *SIGMA, "--radii", "0.1", "--dim", "0"],
    "plan with input-dependent noise": ["plan", "--noise", "input-dependent", *SIGMA, "--radii", "0.1"],
    "plan of a missing run": ["plan", "--run", "none", "--radii", "0.1"],
    "estimate without anything": ["estimate"],
    "pack with an unknown split": ["pack", "digits", "a.npy", "--split", "validation"],
    "demo of no images": ["demo", "--images", "0"],
    "demo with n of zero": ["demo", "--n", "0", "--out", "run"],
    "demo with n that is a word": ["demo", "--n", "many"],
    "demo into the empty name": ["demo", "--out", ""],
    "demo of another smoothing": ["demo", "--smoothing", "rough"],
    "reproduce nothing": ["reproduce", "nothing"],
    "reproduce without a place": ["reproduce", "idrs-toy"],
    "reproduce with alpha 0": ["reproduce", "idrs-toy", "--out", "o", "--alpha", "0"],
    "reproduce in another dimension": ["reproduce", "idrs-toy", "--out", "o", "--dimension", "1"],
    "help of an unknown command": ["certfy", "--help"],
}  # fmt: skip

OPTIONS: dict[str, list[str]] = {
    "no noise": [],
    "sigma 0": ["--sigma", "0"],
    "sigma below zero": ["--sigma", "-0.25"],
    "sigma that is no number": ["--sigma", "nan"],
    "infinite sigma": ["--sigma", "inf"],
    "sigma that is a word": ["--sigma", "some"],
    "sigma of 64 for images in [0, 1]": ["--sigma", "64"],
    "two levels for one part": ["--sigma", "0.25,0.5"],
    "no level between commas": ["--sigma", "0.25,"],
    "the empty sigma": ["--sigma", ""],
    "a decimal comma": ["--sigma", "0,25"],
    "alpha 0": [*SIGMA, "--alpha", "0"],
    "alpha 1": [*SIGMA, "--alpha", "1"],
    "alpha that is no number": [*SIGMA, "--alpha", "nan"],
    "alpha that is a word": [*SIGMA, "--alpha", "5%"],
    "n that is a fraction": [*SIGMA, "--n", "20.5"],
    "n in exponents": [*SIGMA, "--n", "1e5"],
    "n of zero": [*SIGMA, "--n", "0"],
    "n below zero": [*SIGMA, "--n", "-5"],
    "n beyond 32 bits": [*SIGMA, "--n", "99999999999"],
    "n too small for alpha": [*SIGMA, "--n", "3"],
    "n0 of zero": [*SIGMA, "--n0", "0"],
    "n0 below zero": [*SIGMA, "--n0", "-1"],
    "a seed below zero": [*SIGMA, "--seed", "-1"],
    "a seed beyond 64 bits": [*SIGMA, "--seed", str(2**64)],
    "a seed that is a word": [*SIGMA, "--seed", "lucky"],
    "norm 0": [*SIGMA, "--norm", "0"],
    "norm below zero": [*SIGMA, "--norm", "-2"],
    "a norm that is no number": [*SIGMA, "--norm", "nan"],
    "a norm that is a word": [*SIGMA, "--norm", "max"],
    "an unknown bound": [*SIGMA, "--bound", "hoeffding"],
    "an unknown joint": [*SIGMA, "--joint", "sum"],
    "an unknown noise": [*SIGMA, "--noise", "pink"],
    "an unknown transform": [*SIGMA, "--transform", "swirl"],
    "an interpolation of whole images": [*SIGMA, "--interpolation", "nearest"],
    "an unknown interpolation": [*SIGMA, "--transform", "diagonal", "--interpolation", "cubic"],
    "masks that are not there": [*SIGMA, "--transform", "none.npy"],
    "masks of another size": [*SIGMA, "--transform", "masks.npy"],
    "Laplace noise without a scale": ["--noise", "laplace"],
    "Laplace noise with sigma": ["--noise", "laplace", *SIGMA],
    "Gaussian noise with a scale": [*SIGMA, "--scale", "0.5"],
    "generalised Gaussian noise without a shape": ["--noise", "generalized-gaussian", "--scale", "0.5"],
    "a shape of 0.1": ["--noise", "generalized-gaussian", "--scale", "0.5", "--shape", "0.1"],
    "uniform noise of scale 0": ["--noise", "uniform", "--scale", "0"],
    "lattice noise on images that are not on it": [*SIGMA, "--noise", "lattice-gaussian", "--data", "floats.npz"],
    "a rate of constant noise": [*SIGMA, "--rate", "0.1"],
    "input-dependent noise without training images": [*SIGMA, "--noise", "input-dependent"],
    "input-dependent noise with a rate below zero": [*SIGMA, "--noise", "input-dependent", "--train", "a.npz", "--rate", "-1"],
    "an offset that is a word": [*SIGMA, "--noise", "input-dependent", "--offset", "median"],
    "training images of another size": [*SIGMA, "--noise", "input-dependent", "--train", "small.npz", "--neighbors", "1"],
    "training images that are not there": [*SIGMA, "--noise", "input-dependent", "--train", "none.npz"],
    "more neighbours than training images": [*SIGMA, "--noise", "input-dependent", "--train", "a.npz", "--neighbors", "50"],
    "a sigma function that is not there": ["--noise", "input-dependent", "--sigma-function", "no.such:function", "--rate", "0.1"],
    "a sigma function without a rate": ["--noise", "input-dependent", "--sigma-function",
                                        "tests.reference.factories:level_by_brightness"],
    "a plan without radii": [*SIGMA, "--plan", "grid"],
    "radii without a plan": [*SIGMA, "--radii", "0.1"],
    "an unknown plan": [*SIGMA, "--plan", "guess"],
    "a plan at a radius below zero": [*SIGMA, "--plan", "grid", "--radii", "-0.1"],
    "a plan at a radius out of reach": [*SIGMA, "--plan", "grid", "--radii", "9"],
    "a tolerance of a grid": [*SIGMA, "--plan", "grid", "--radii", "0.1", "--tolerance", "0.1"],
    "a last look of more than all": [*SIGMA, "--plan", "radius", "--final", "2"],
    "curtailed plans": [*SIGMA, "--plan", "curtail", "--radii", "0.5"],
    "tested labels without a plan": [*SIGMA, "--test-labels"],
    "a shard that is a word": [*SIGMA, "--shard", "first"],
    "shard 3 of 3": [*SIGMA, "--shard", "3/3"],
    "a shard below zero": [*SIGMA, "--shard", "-1/3"],
    "a shard of nothing": [*SIGMA, "--shard", "0/0"],
    "10,000 shards": [*SIGMA, "--shard", "0/10000"],
    "a start below zero": [*SIGMA, "--start", "-1"],
    "a start beyond the data": [*SIGMA, "--start", "5"],
    "a count of zero": [*SIGMA, "--count", "0"],
    "every zeroth image": [*SIGMA, "--every", "0"],
    "a batch of zero": [*SIGMA, "--batch", "0"],
    "a batch below zero": [*SIGMA, "--batch", "-3"],
    "a batch that is a word": [*SIGMA, "--batch", "big"],
    "an unknown dtype": [*SIGMA, "--dtype", "int8"],
    "an unknown runtime": [*SIGMA, "--runtime", "tensorrt"],
    "an unknown device": [*SIGMA, "--device", "toaster"],
    "devices that are none": [*SIGMA, "--devices", "cpu,toaster"],
    "devices and a device": [*SIGMA, "--device", "cpu", "--devices", "cpu,cpu"],
    "a CUDA device beyond all": [*SIGMA, "--device", "cuda:99"],
    "the meta device": [*SIGMA, "--device", "meta"],
    "an unknown backend": [*SIGMA, "--backend", "fortran"],
    "no threads": [*SIGMA, "--threads", "0"],
    "100,000 threads": [*SIGMA, "--threads", "100000"],
    "std of zero": [*SIGMA, "--mean", "0.5", "--std", "0"],
    "three means of one channel": [*SIGMA, "--mean", "0.5,0.5,0.5", "--std", "1,1,1"],
    "a mean that is no number": [*SIGMA, "--mean", "nan", "--std", "1"],
    "one class": [*SIGMA, "--num-classes", "1"],
    "no classes": [*SIGMA, "--num-classes", "0"],
    "ten million classes": [*SIGMA, "--num-classes", "10000000"],
    "more classes than logits": [*SIGMA, "--num-classes", "4"],
    "data without labels or classes": [*SIGMA, "--data", "unlabelled.npz"],
    "data that are not there": [*SIGMA, "--data", "none.npz"],
    "the empty data": [*SIGMA, "--data", ""],
    "two models of whole images": [*SIGMA, "--model", "tests.corpus.networks:tiny"],
    "a model that fails": [*SIGMA, "--model", "tests.reference.factories:broken"],
    "a checkpoint of nothing": [*SIGMA, "--checkpoint", "none.pt"],
    "the empty place": [*SIGMA, "--out", ""],
    "a place below a file": [*SIGMA, "--out", "a.npz/run"],
}  # fmt: skip

LATE = (
    "lattice noise on images that are not on it",
    "ten million classes",
    "more classes than logits",
)  # the first image says it

ESTIMATES: dict[str, list[str]] = {
    "without images or precision": [],
    "of no images": ["--images", "0"],
    "of more images than there are": ["--images", "1000"],
    "with a precision of zero": ["--precision", "0"],
    "with a precision of two": ["--precision", "2"],
    "with both images and precision": ["--images", "1", "--precision", "0.1"],
    "with a confidence of one": ["--images", "1", "--confidence", "1"],
    "with a confidence that is no number": ["--images", "1", "--confidence", "nan"],
    "with a last look of nothing": ["--images", "1", "--final", "0"],
    "of data without labels": ["--images", "1", "--data", "unlabelled.npz"],
}

PREDICTIONS: dict[str, list[str]] = {
    "with n of zero": [*SIGMA, "--n", "0"],
    "with alpha of zero": [*SIGMA, "--alpha", "0"],
    "without noise": [],
    "with an option of certify": [*SIGMA, "--n0", "5"],
    "of two models": [*SIGMA, "--model", "tests.corpus.networks:tiny"],
}  # fmt: skip


def cases() -> Iterator[Case]:
    files: dict[str, Any] = {"a.npz": X}
    others = {
        "masks.npy": npy(np.ones((2, 5, 5), bool)),
        "floats.npz": npz(x=np.full((2, 1, 4, 4), 0.123456), y=np.array([0, 1])),
        "small.npz": npz(x=np.zeros((3, 1, 2, 2), np.uint8), y=np.array([0, 1, 1])),
        "unlabelled.npz": UNLABELLED,
    }
    for what, command in NOTHING.items():
        yield Case(f"command: {what}", {}, command)
    for what, options in OPTIONS.items():
        needed = {name: content for name, content in others.items() if name in options}
        command = CERTIFY if "--data" not in options else [one for one in CERTIFY if one not in ("--data", "a.npz")]
        command = [one for one in command if one not in ("--num-classes", "3")] if "unlabelled.npz" in options else command
        leaves = ("run",) if what in LATE else ()
        yield Case(f"certify: {what}", {**files, **needed}, [*command, *options], leaves)
    for what, options in ESTIMATES.items():
        command = ["estimate", *LINEAR, "--num-classes", "3", *SIGMA, "--radii", "0.1", "--n", "200", "--quiet", "--out", "run"]
        yield Case(f"estimate: {what}", {**files, "unlabelled.npz": UNLABELLED}, [*command, *options])
    for what, options in PREDICTIONS.items():
        command = ["predict", *LINEAR, "--num-classes", "3", "--n", "50", "--seed", "1", "--quiet", "--out", "run"]
        yield Case(f"predict: {what}", files, [*command, *options])
    yield Case("certify: a place that is a file", {**files, "run": "hello"}, [*CERTIFY, *SIGMA])
    yield Case("certify: data that are a folder of nothing", {"a.npz": FOLDER}, [*CERTIFY, *SIGMA])
