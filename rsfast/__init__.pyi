from . import attacks as attacks
from . import backends as backends
from . import certificates as certificates
from . import compat as compat
from . import confidence as confidence
from . import inference as inference
from . import inner as inner
from . import models as models
from . import noise as noise
from . import numerics as numerics
from . import plans as plans
from . import sigma as sigma
from . import torch as torch
from . import training as training
from . import transforms as transforms
from .api import certify as certify
from .api import predict as predict
from .api import predict_details as predict_details
from .certifying.from_counts import certify_counts as certify_counts
from .certifying.from_counts import predict_counts as predict_counts
from .counting.classifier import Classifier as Classifier
from .counting.count import sample_counts as sample_counts
from .errors import BackendUnavailableError as BackendUnavailableError
from .errors import DataError as DataError
from .errors import InvalidArgumentError as InvalidArgumentError
from .errors import ModelError as ModelError
from .errors import NumericalError as NumericalError
from .errors import RsfastError as RsfastError
from .errors import SoundnessWarning as SoundnessWarning
from .errors import StoreError as StoreError
from .inference.calibration import Calibration as Calibration
from .noise import Gaussian as Gaussian
from .noise import GeneralizedGaussian as GeneralizedGaussian
from .noise import InputDependentGaussian as InputDependentGaussian
from .noise import Laplace as Laplace
from .noise import LatticeGaussian as LatticeGaussian
from .noise import Uniform as Uniform
from .numerics import ncx2 as ncx2
from .request import ABSTAIN as ABSTAIN
from .request import Claim as Claim
from .result import Certificate as Certificate
from .result import Prediction as Prediction
from .result import VoteCounts as VoteCounts
from .transforms import DiagonalSplit as DiagonalSplit
from .transforms import Partition as Partition

__version__: str

__all__ = [
    "ABSTAIN",
    "BackendUnavailableError",
    "Calibration",
    "Certificate",
    "Claim",
    "Classifier",
    "DataError",
    "DiagonalSplit",
    "Gaussian",
    "GeneralizedGaussian",
    "InputDependentGaussian",
    "InvalidArgumentError",
    "Laplace",
    "LatticeGaussian",
    "ModelError",
    "NumericalError",
    "Partition",
    "Prediction",
    "RsfastError",
    "SoundnessWarning",
    "StoreError",
    "Uniform",
    "VoteCounts",
    "attacks",
    "backends",
    "certificates",
    "certify",
    "certify_counts",
    "compat",
    "confidence",
    "inference",
    "inner",
    "models",
    "ncx2",
    "noise",
    "numerics",
    "plans",
    "predict",
    "predict_counts",
    "predict_details",
    "sample_counts",
    "sigma",
    "training",
    "transforms",
]
