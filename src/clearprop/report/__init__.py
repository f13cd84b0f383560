"""Pictures of a training run, and the page that shows them: one HTML file, nothing else needed.

`write_page` writes what a `Report` holds. The single pictures are functions that return a `Picture`, the
bytes of an SVG or PNG file with words for those who do not see it. Needs matplotlib (extra "plots").
"""

from __future__ import annotations

from clearprop.report.answers import boundary, confidence, confusion_picture, right_images, wrong_images
from clearprop.report.confusion import Mistake, confusion_matrix, most_frequent_mistakes
from clearprop.report.curves import curves, gradient_norms, rolling
from clearprop.report.page import Answers, Report, Section, page, sections, write_page
from clearprop.report.real import fitted_curve, predicted_against_true
from clearprop.report.style import Picture, require_matplotlib

__all__ = [
    "Answers",
    "Mistake",
    "Picture",
    "Report",
    "Section",
    "boundary",
    "confidence",
    "confusion_matrix",
    "confusion_picture",
    "curves",
    "fitted_curve",
    "gradient_norms",
    "most_frequent_mistakes",
    "page",
    "predicted_against_true",
    "require_matplotlib",
    "right_images",
    "rolling",
    "sections",
    "write_page",
    "wrong_images",
]
