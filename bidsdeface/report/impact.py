"""What defacing changed in measurements: a table, its description, and what the report shows.

They hold differences only; the volumes themselves stay in the work dir.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from bidsdeface.output.record import Published
from bidsdeface.quality.limits import Check, bids_name
from bidsdeface.report.page import tsv
from bidsdeface.report.quality import scan_row
from bidsdeface.report.strip import draw_strip, number

Impact = Mapping[PurePosixPath, Mapping[str, float]]

BRAIN_PERCENT = 0.96  # median between two scans minutes apart [1]
TISSUE_PERCENT = 1.2  # largest coefficient of variation of two scans half a year apart [2]
OF_TISSUE = "of the {} of three kinds of tissue that k-means of intensities tells apart in that brain"
# Not limits of publication, but what differs between two scans of one person.
CHANGES = (
    Check(
        "brain_percent",
        "Change of the brain's volume, as the network finds it in each image alone",
        least=-BRAIN_PERCENT,
        most=BRAIN_PERCENT,
    ),
    Check("dark_percent", f"Change of the volume {OF_TISSUE.format('darkest')}; in T1w, fluid"),
    Check(
        "middle_percent",
        f"Change of the volume {OF_TISSUE.format('second')}; in T1w, grey matter",
        least=-TISSUE_PERCENT,
        most=TISSUE_PERCENT,
    ),
    Check(
        "bright_percent",
        f"Change of the volume {OF_TISSUE.format('brightest')}; in T1w, white matter",
        least=-TISSUE_PERCENT,
        most=TISSUE_PERCENT,
    ),
    Check(
        "placement_mm",
        "Mean displacement over the brain between the placements of the template on each image alone",
    ),
)
SOURCES = (
    "Cover KS, van Schijndel RA, van Dijk BW, et al. Assessing the reproducibility of the SienaX and Siena "
    "brain atrophy measures using the ADNI back-to-back MP-RAGE MRI scans. Psychiatry Res 2011;193:182-90. "
    "doi:10.1016/j.pscychresns.2011.02.012. Brain volume (SIENAX, 671 people) differed between back-to-back "
    "scans by 0.96 % (median; 90th percentile 5.11 %).",
    "Chard DT, Parker GJM, Griffin CMB, Thompson AJ, Miller DH. The reproducibility and sensitivity of brain "
    "tissue volume measurements derived from an SPM-based segmentation methodology. J Magn Reson Imaging "
    "2002;15:259-67. doi:10.1002/jmri.10064. Coefficients of variation of brain, grey and white matter "
    "(SPM99, 10 people, 197 days apart): 0.5 to 1.2 %.",
    "Wittens MMJ, Allemeersch GJ, Sima DM, et al. Inter- and intra-scanner variability of automated brain "
    "volumetry on three magnetic resonance imaging systems in Alzheimer's disease and controls. Front Aging "
    "Neurosci 2021;13. doi:10.3389/fnagi.2021.746982. On one scanner, coefficients of variation were below "
    "2 % on average.",
)
COLUMNS: dict[str, dict[str, Any]] = {
    "scan": {"Description": "Path of the published image, relative to the dataset"},
    **{
        bids_name(check.measure): {
            "Description": f"{check.description}; from the original to the defaced image",
            "Units": "mm" if check.measure.endswith("_mm") else "percent",
        }
        for check in CHANGES
    },
}


def table(impact: Impact) -> str:
    """Return ``impact.tsv``."""
    rows = (
        {"scan": image, **{bids_name(name): f"{value:.3f}" for name, value in changes.items()}}
        for image, changes in impact.items()
    )
    return tsv(COLUMNS, rows)


def content(impact: Impact, scans: Sequence[Published]) -> dict[str, Any]:
    """Return what the report shows.

    Parameters
    ----------
    impact : mapping of PurePosixPath to mapping
        From `measure_impact`.
    scans : sequence of Published
    """
    rows = [
        replace(scan_row(scan, lambda _: ""), measures=impact[scan.image])
        for scan in scans
        if impact.get(scan.image)
    ]
    return {
        "measured": len(rows),
        "not_measured": len(impact) - len(rows),
        "strips": [strip for check in CHANGES if (strip := draw_strip(check, rows))],
        "summary": [_summary(check, [row.measures[check.measure] for row in rows]) for check in CHANGES],
        "sources": SOURCES,
    }


def _summary(check: Check, values: Sequence[float]) -> dict[str, str]:
    values = [value for value in values if math.isfinite(value)]
    return {
        "name": bids_name(check.measure),
        "median": number(statistics.median(values)) if values else "n/a",
        "range": f"{number(min(values))} to {number(max(values))}" if values else "n/a",
        "rescan": f"± {check.most:g} %" if math.isfinite(check.most) else "–",
        "description": check.description,
    }
