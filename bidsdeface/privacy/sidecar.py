"""Which sidecar metadata may be shared: an allow-list of acquisition physics.

A field is kept only if it is on the list *and* its value is of the plain kind that the list names,
so that nothing personal rides along in a kept field: numbers of a size that cannot be a date or an
identifier, booleans, and words of a closed vocabulary. Free text, dates, times, names, places,
serial numbers and identifiers have no way through.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

# Physics that BIDS 1.11 defines for MRI, and its unit is SI (degrees for angles).
_NUMBER_FIELDS = (
    "AcquisitionVoxelSize",
    "DwellTime",
    "EchoTime",
    "EchoTrainLength",
    "EffectiveEchoSpacing",
    "FlipAngle",
    "InversionTime",
    "MagneticFieldStrength",
    "MixingTime",
    "NumberShots",
    "ParallelReductionFactorInPlane",
    "ParallelReductionFactorOutOfPlane",
    "PartialFourier",
    "PixelBandwidth",
    "RepetitionTime",
    "RepetitionTimeExcitation",
    "RepetitionTimePreparation",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SpoilingGradientDuration",
    "SpoilingGradientMoment",
    "SpoilingRFPhaseIncrement",
    "TotalReadoutTime",
)
_FLAG_FIELDS = ("MTState", "NonlinearGradientCorrection", "SpoilingState")

_VENDOR = (
    r"(Siemens|GE|Philips|Canon|Toshiba|Hitachi|Fujifilm|Bruker|Hyperfine|UIH|United Imaging)"
    r"([ _-](Healthineers|Healthcare|Medical|Systems|Corporation|MEC|NMR|BioSpin))*"
)
_SCANNER = (
    r"((MAGNETOM|SIGNA|DISCOVERY|OPTIMA|Vantage|MR|Intera|Ingenia|Achieva|Prisma|Skyra|Trio|TrioTim"
    r"|Tim|Verio|Vida|Lumina|Aera|Avanto|Allegra|Symphony|Sonata|Espree|Sola|Altea|Amira|Terra|Cima"
    r"|Biograph|mMR|Connectom|Elition|Ambition|Ingenuity|Panorama|Gyroscan|Premier|Architect|Artist"
    r"|Pioneer|Voyager|Explorer|HDx|HDxt|EXCITE|Titan|Galan|Orian|Centurian|Echelon|Oasis|Swoop"
    r"|uMR|MR\d{3}w?|\d{3}w?|fit|dStream|XQ|CX|Omega|X|S|XR|Plus|[1-7](\.5)?T?)([ _-]|$))+"
)
_PULSE_SEQUENCE = (
    r"((MPRAGE|MP2RAGE|ME|MEMPRAGE|FLASH|SPGR|BRAVO|FSPGR|TFE|TFL|TSE|FSE|SE|GRE|GR|IR|EPI|FLAIR"
    r"|SPACE|CUBE|VISTA|VIBE|CISS|FIESTA|SSFP|bSSFP|TOF|SWI|QSM|T1|T2|PD|3D|2D|Gradient|Spin|Echo"
    r"|Fast|Turbo|Multi|Spoiled|Inversion|Recovery|Steady|State)([ _-]|$))+"
)
_CODES = r"({0})([\\/_, ]({0}))*"  # dcm2niix joins DICOM's multiple values with \ or _

_TERM_FIELDS = {
    "InPlanePhaseEncodingDirectionDICOM": r"ROW|COL",
    "Manufacturer": _VENDOR,
    "ManufacturersModelName": _SCANNER,
    "Modality": r"MR|CT|PT",
    "MRAcquisitionType": r"[123]D",
    "MTPulseShape": r"HARD|GAUSSIAN|GAUSSHANN|SINC|SINCHANN|SINCGAUSS|FERMI",
    "PhaseEncodingDirection": r"[ijk]-?",
    "PulseSequenceType": _PULSE_SEQUENCE,
    "ScanningSequence": _CODES.format("SE|IR|GR|EP|RM"),
    "ScanOptions": _CODES.format("PER|RG|CG|PPG|FC|PFF|PFP|SP|FS|IR|DB|SAT[12]?|WE|FAST|EDR|ACC"),
    "SequenceVariant": _CODES.format("SK|MTC|SS|TRSS|SP|MP|OSP|TOF|NONE"),
    "SliceEncodingDirection": r"[ijk]-?",
    "SpoilingType": r"RF|GRADIENT|COMBINED",
}

_LARGEST_NUMBER = 1e5  # every quantity above stays below it; a date as a number (20261122) does not


def keep_physics(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what describes the acquisition and cannot tell who was scanned, where or when.

    Parameters
    ----------
    metadata : mapping
        Sidecar of a raw scan.

    Returns
    -------
    dict
        The fields that are kept, values unchanged, in the order of `metadata`.

    Examples
    --------
    >>> keep_physics({"EchoTime": 0.003, "InstitutionName": "H", "FlipAngle": "Doe^Jane"})
    {'EchoTime': 0.003}
    """
    return {name: value for name, value in metadata.items() if name in _CHECKS and _CHECKS[name](value)}


def _is_number(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= 3 and all(not isinstance(one, list) and _is_number(one) for one in value)
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < _LARGEST_NUMBER  # false for NaN as well
    )


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_term(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda value: isinstance(value, str) and len(value) <= 64 and compiled.fullmatch(value) is not None


_CHECKS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(_NUMBER_FIELDS, _is_number),
    **dict.fromkeys(_FLAG_FIELDS, _is_flag),
    **{name: _is_term(pattern) for name, pattern in _TERM_FIELDS.items()},
}
