"""What the text for a methods section cites: numbered in the order of the text, each complete."""

KNOWN = {
    "bidsdeface": "The bidsdeface developers. bidsdeface: a BIDS App that defaces MRI and measures what it "
    "did [software], version {version}. 2026.",
    "bids apps": "Gorgolewski KJ, Alfaro-Almagro F, Auer T, et al. BIDS apps: Improving ease of use, "
    "accessibility, and reproducibility of neuroimaging data analysis methods. PLoS Comput Biol "
    "2017;13:e1005209. doi:10.1371/journal.pcbi.1005209",
    "whole head": "Gulban OF, Nielson D, Poldrack R, et al. poldracklab/pydeface [software]. Zenodo 2019. "
    "doi:10.5281/zenodo.3524400",
    "brain": "Fisch L, Zumdick S, Barkhau C, et al. deepbet: Fast brain extraction of T1-weighted MRI using "
    "convolutional neural networks. Comput Biol Med 2024;179. doi:10.1016/j.compbiomed.2024.108845",
}


class References:
    """The references of one text.

    Parameters
    ----------
    version : str
        Of this program, which made the results.

    Examples
    --------
    >>> cite = References("1.0")
    >>> cite("brain"), cite("bids apps"), cite("brain"), len(cite.texts)
    ('[1]', '[2]', '[1]', 2)
    """

    def __init__(self, version: str) -> None:
        self._version = version
        self._cited: list[str] = []

    def __call__(self, key: str) -> str:
        """Cite a reference: return its number."""
        if key not in self._cited:
            self._cited.append(key)
        return f"[{self._cited.index(key) + 1}]"

    @property
    def texts(self) -> list[str]:
        """What was cited, in the order of its numbers."""
        return [KNOWN[key].format(version=self._version) for key in self._cited]
