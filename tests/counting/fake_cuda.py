"""CUDA as the host sees it, on CPU tensors: which device and stream is the current one, and what was recorded, copied, captured.

What names a CUDA device is given the CPU, and its bits.  Work is done at once, so that this shows nothing of what overtakes what;
it shows on which stream of which device everything was asked for.
"""

import contextlib
import types

import torch
from torch.overrides import TorchFunctionMode

CPU = torch.device("cpu")


def index_of(device):
    return torch.device(device).index if not isinstance(device, int) else device


class FakeCuda(TorchFunctionMode):
    """With it, torch has `devices` GPUs; `log` holds (what, device, stream) in order."""

    def __init__(self, monkeypatch, devices=2):
        super().__init__()
        self.current, self.streams = 0, {}
        self.log, self.pageable = [], 0
        self.pinned = {}  # by address, and kept, so that it stays theirs
        fake = self

        class Stream:
            def __init__(self, device=None):
                self.device = torch.device("cuda", fake.current if device is None else index_of(device))

            def wait_event(self, event):
                fake.log.append(("wait", self.device.index, self))
                assert event.stream is None or event.stream.device == self.device, "a stream waits for another device's event"

            def wait_stream(self, other):
                fake.log.append(("wait", self.device.index, self))

        class Event:
            stream = None

            def record(self, stream=None):
                self.stream = fake.stream_of(fake.current) if stream is None else stream
                fake.log.append(("record", self.stream.device.index, self.stream))

            def synchronize(self):
                fake.log.append(("synchronize", self.stream.device.index, self.stream))

        class CUDAGraph:
            def replay(self):
                fake.log.append(("replay", fake.current, fake.stream_of(fake.current)))

        self.Stream, self.captures = Stream, []
        for name, value in {
            "Stream": Stream, "Event": Event, "CUDAGraph": CUDAGraph, "device": self.on_device, "stream": self.on_stream,
            "graph": self.graph, "current_stream": lambda device=None: self.stream_of(self.current if device is None else
                                                                                      index_of(device)),
            "current_device": lambda: self.current, "device_count": lambda: devices, "is_available": lambda: True,
            "synchronize": lambda device=None: None, "empty_cache": lambda: None,
            "get_device_name": lambda device=None: "Fake H100", "is_bf16_supported": lambda **_: True,
        }.items():  # fmt: skip
            monkeypatch.setattr(torch.cuda, name, value)

    def stream_of(self, index):
        return self.streams.setdefault(index, self.Stream(index))

    @contextlib.contextmanager
    def on_device(self, device):
        before, self.current = self.current, index_of(device) if index_of(device) is not None else self.current
        try:
            yield
        finally:
            self.current = before

    @contextlib.contextmanager
    def on_stream(self, stream):
        index = stream.device.index
        before, self.streams[index] = self.stream_of(index), stream
        try:
            with self.on_device(index):
                yield
        finally:
            self.streams[index] = before

    @contextlib.contextmanager
    def graph(self, graph, pool=None, stream=None, capture_error_mode="global"):
        self.captures.append(types.SimpleNamespace(device=self.current, stream=stream, mode=capture_error_mode))
        yield

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        moved = [one for one in (*args[1:], kwargs.get("device")) if isinstance(one, (torch.device, str)) and "cuda" in str(one)]
        if name == "pin_memory":
            pinned = args[0].clone()
            self.pinned[pinned.data_ptr()] = pinned
            return pinned
        if name == "to" and moved:
            at_once = args[0].data_ptr() in self.pinned and kwargs.get("non_blocking", False)
            self.pageable += not at_once
            where = self.current if torch.device(moved[0]).index is None else torch.device(moved[0]).index
            self.log.append(("copy", where, self.stream_of(where)))
        kwargs.pop("pin_memory", None)
        args = tuple(CPU if any(one is other for other in moved) else one for one in args)
        if kwargs.get("device") is not None and moved:
            kwargs["device"] = CPU
        return func(*args, **kwargs)
