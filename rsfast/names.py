"""The names of what is chosen by name and loads torch when it is used, so that help and bad names take no time."""

from typing import Any

BACKENDS = {"triton": "TritonBackend", "native": "NativeBackend", "numba": "NumbaBackend", "reference": "ReferenceBackend"}
"""The class of each backend, in its module of rsfast.backends; "auto" tries them in this order."""

AUTO = "auto"
"""The choice that is measured."""

RUNTIMES = ("torch", "compile", "cudagraph", "openvino", "onnxruntime")
"""What runs a model; rsfast.inference.runtimes has the branch of each."""

DTYPES = ("float32", "bfloat16", "float16")
"""In which a model can run, by torch's names."""

INT8 = "int8"
"""Integer arithmetic between layers, whose scales are set by calibration; the model's input stays float32."""

ARCHITECTURES: dict[str, tuple[Any, ...]] = {
    "small-cnn": ("small_cnn.SmallCNN",),
    "cifar-resnet20": ("cifar_resnet.CifarResNet", 20),
    "cifar-resnet110": ("cifar_resnet.CifarResNet", 110),
    "resnet50": ("imagenet_resnet.ResNet50",),
}
"""The class of each built-in architecture, in rsfast.models, and its first arguments."""

OBJECTIVES = (
    "noise-augmentation", "stability", "consistency", "smooth-adv", "macer", "smooth-mix", "trades", "adversarial-training",
)  # fmt: skip
"""Training objectives of a classifier on whole images: functions of rsfast.training, with _ for -."""

WITHOUT_NOISE = ("trades", "adversarial-training")
"""Those that attack instead of adding noise."""

OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("cosine", "step")
"""Optimizers and schedules that `rsfast.training.recipe.Recipe` takes."""

ATTACKS = ("pgd", "ddn", "cw")
"""Attacks that `rsfast.attacks.smallest_flips` knows."""
