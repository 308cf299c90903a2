"""Estimators for scikit-learn: networks in its pipelines, searches and cross-validations.

They need scikit-learn: pip install 'minidl[sklearn]'.
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "minidl's estimators need scikit-learn: pip install 'minidl[sklearn]'"
    ) from error

from minidl.sklearn.estimators import Estimator, MLPClassifier, MLPRegressor

__all__ = ["Estimator", "MLPClassifier", "MLPRegressor"]
