"""Probability bounds → certified radii.  Pure float64 functions, vectorised, rounded down.  docs/which-certificate.md chooses."""

from .counts import cohen_certify, cohen_certify_multiclass, dual_certify_bonferroni, dual_certify_product
from .divergences import bhattacharyya_l2, chi2_l2, hellinger_l2, kl_l2, lecuyer_l2, renyi_l2, renyi_l2_all, renyi_l2_fixed, tv_l2
from .dual import dual_l2, dual_log_concave_l1, dual_lp
from .dual_multiclass import dual_multiclass_l2
from .gaussian import cohen_l2, gaussian_lp
from .generalized_gaussian import (
    generalized_gaussian_hayes,
    generalized_gaussian_kl,
    generalized_gaussian_kl_bound,
    generalized_gaussian_kl_lp,
    generalized_gaussian_tradeoff,
)
from .input_dependent import (
    input_dependent_l2,
    input_dependent_rule,
    sigma_ratio_at_half,
    sigma_ratio_limit,
    sigma_ratio_limit_simple,
    xi_greater,
    xi_less,
)
from .l1 import generalized_gaussian_l1, laplace_l1, lecuyer_l1, teng_l1, uniform_ball, uniform_l1, uniform_lp
from .limits import (
    dual_wu_l2,
    kumar_generalized_gaussian,
    kumar_iid,
    kumar_uniform_cube,
    kumar_uniform_l1_ball,
    std_of_scale,
    unimodal_iid,
    wu_l2,
)
from .norms import l1_to_lp, l2_to_lp
from .partitions import partition_l2
from .registry import CERTIFICATES, get
from .renyi_input_dependent import input_dependent_renyi_fixed, input_dependent_renyi_l2, renyi_gaussian_divergence

__all__ = [
    "CERTIFICATES",
    "bhattacharyya_l2",
    "chi2_l2",
    "cohen_certify",
    "cohen_certify_multiclass",
    "cohen_l2",
    "dual_certify_bonferroni",
    "dual_certify_product",
    "dual_l2",
    "dual_log_concave_l1",
    "dual_lp",
    "dual_multiclass_l2",
    "dual_wu_l2",
    "gaussian_lp",
    "generalized_gaussian_hayes",
    "generalized_gaussian_kl",
    "generalized_gaussian_kl_bound",
    "generalized_gaussian_kl_lp",
    "generalized_gaussian_l1",
    "generalized_gaussian_tradeoff",
    "get",
    "hellinger_l2",
    "input_dependent_l2",
    "input_dependent_renyi_fixed",
    "input_dependent_renyi_l2",
    "input_dependent_rule",
    "kl_l2",
    "kumar_generalized_gaussian",
    "kumar_iid",
    "kumar_uniform_cube",
    "kumar_uniform_l1_ball",
    "l1_to_lp",
    "l2_to_lp",
    "laplace_l1",
    "lecuyer_l1",
    "lecuyer_l2",
    "partition_l2",
    "renyi_gaussian_divergence",
    "renyi_l2",
    "renyi_l2_all",
    "renyi_l2_fixed",
    "sigma_ratio_at_half",
    "sigma_ratio_limit",
    "sigma_ratio_limit_simple",
    "std_of_scale",
    "teng_l1",
    "tv_l2",
    "uniform_ball",
    "uniform_l1",
    "uniform_lp",
    "unimodal_iid",
    "wu_l2",
    "xi_greater",
    "xi_less",
]
