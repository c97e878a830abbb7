"""One head in many contrasts, made of a T1w: echoes, inversions, flip angles, phase, maps, EPI."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from tests.conftest import make_dataset

TI_MS = {1: 700.0, 2: 2500.0}
TE_MS = {1: 5.0, 2: 15.0, 3: 25.0}
NOISE = 0.012  # of the brightest tissue, in each part of complex signals


@dataclass(frozen=True)
class Series:
    """A grid, and where the head lies on it.

    Attributes
    ----------
    shape : tuple of int
    affine : numpy.ndarray, shape (4, 4)
    move : numpy.ndarray, shape (4, 4)
        World of the T1w to that of this series.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    move: np.ndarray


class SyntheticHead:
    """A T1w, and all that is made of it; noise is the same in each run."""

    def __init__(self, path):
        self.t1w = nib.load(path)
        values = self.t1w.get_fdata(dtype=np.float32)
        # Brain becomes 0.5: above the middle of what is not air, some centimetres around, it is all brain.
        middle = np.argwhere(values > values.mean()).mean(axis=0) + [
            0,
            0,
            25 / self.t1w.header.get_zooms()[2],
        ]
        x, y, z = (slice(int(n) - 10, int(n) + 10) for n in middle)
        self._tissue = np.clip(0.5 * values / np.median(values[x, y, z]), 0, 1)
        self._rng = np.random.default_rng(0)

    def series(self, zooms, turn_deg=(0, 0, 0), shift_mm=(0, 0, 0), cut_mm=0.0) -> Series:
        """Return a grid over the T1w's field of view, cut from below, with the head turned and shifted."""
        size = np.array(self.t1w.shape[:3]) * self.t1w.header.get_zooms()[:3]
        corner = np.append(self.t1w.affine[:3, 3], 1.0)[:3] + [0, 0, cut_mm]
        affine = nib.affines.from_matvec(np.diag(zooms), corner)
        centre = self.t1w.affine[:3, :3] @ (np.array(self.t1w.shape[:3]) / 2) + self.t1w.affine[:3, 3]
        turn = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
        move = nib.affines.from_matvec(turn, centre + shift_mm - turn @ centre)
        shape = tuple(((size - [0, 0, cut_mm]) // zooms).astype(int))
        return Series(shape, affine, move)

    def tissue(self, series: Series) -> np.ndarray:
        """Return how bright the T1w is on a series' grid, 0 (air) to 1."""
        voxels = np.linalg.inv(self.t1w.affine) @ np.linalg.inv(series.move) @ series.affine
        return ndimage.affine_transform(self._tissue, voxels[:3, :3], voxels[:3, 3], series.shape, order=1)

    def noise(self, shape) -> np.ndarray:
        return NOISE * (self._rng.normal(size=shape) + 1j * self._rng.normal(size=shape))

    def image(self, values, series: Series, dtype=np.int16, tr: float = 0.0) -> nib.Nifti1Image:
        image = nib.Nifti1Image(np.asfortranarray(values.astype(dtype)), series.affine)
        image.header.set_xyzt_units("mm", "sec")
        if tr:
            image.header.set_zooms((*image.header.get_zooms()[:3], tr))
        return image

    def t2w(self, series):
        tissue = self.tissue(series)
        signal = _protons(tissue) * (0.15 + 0.85 * _like_brain(tissue))
        return self.image(900 * np.abs(signal + self.noise(series.shape)), series)

    def echoes(self, series):
        """Yield number, magnitude and phase of three gradient echoes."""
        tissue = self.tissue(series)
        density = _protons(tissue) * (0.4 + 0.6 * _like_brain(tissue))
        x, y, z = (np.linspace(-1, 1, n) for n in series.shape)
        field = 0.04 * (x[:, None, None] ** 2 + 2 * y[None, :, None] - z[None, None, :] ** 2)
        for number, ms in TE_MS.items():
            signal = density * np.exp(-ms / (25 + 40 * tissue) + 1j * field * ms) + self.noise(series.shape)
            phase = self.image(4095 / np.pi * np.angle(signal), series)
            yield number, self.image(1500 * np.abs(signal), series), phase

    def mp2rage(self, series):
        """Return both inversions, the uniform image (Marques and others, 2010) and the T1 map."""
        tissue = self.tissue(series)
        density = np.where(tissue > 0.06, 0.9, tissue)
        t1_ms = np.clip(850 * np.clip(tissue, 0.2, 1) ** -0.9, 600, 4000)
        signals = {
            inversion: density * (1 - 2 * np.exp(-ms / t1_ms)) + self.noise(series.shape)
            for inversion, ms in TI_MS.items()
        }
        one, two = signals.values()
        uniform = np.real(np.conj(one) * two) / (np.abs(one) ** 2 + np.abs(two) ** 2)
        in_air = tissue < 0.06
        t1_ms[in_air] = self._rng.uniform(0, 5000, in_air.sum())
        inversions = {name: self.image(2000 * np.abs(signal), series) for name, signal in signals.items()}
        return inversions, self.image(4095 * (uniform + 0.5), series), self.image(t1_ms, series)

    def flip_angles(self, series):
        """Return one 4D image of four flip angles."""
        tissue = self.tissue(series)
        density = np.where(tissue > 0.06, 0.9, tissue)
        decay = np.exp(-20 / np.clip(850 * np.clip(tissue, 0.2, 1) ** -0.9, 600, 4000))
        volumes = [
            np.abs(
                density * np.sin(angle) * (1 - decay) / (1 - decay * np.cos(angle)) * 12
                + self.noise(series.shape)
            )
            for angle in np.radians([3, 8, 14, 22])
        ]
        return self.image(1500 * np.stack(volumes, -1), series, tr=0.02)

    def epi(self, series, volumes=1, shell=None):
        """Return a fat-suppressed echo-planar series: bright brain and fluid, little scalp, smooth."""
        tissue = ndimage.gaussian_filter(self.tissue(series), 0.6)
        signal = _protons(tissue) * (0.1 + 0.9 * _like_brain(tissue))
        shell = shell or [1.0] * volumes
        stack = [1000 * np.abs(scale * signal + self.noise(series.shape)) for scale in shell]
        return self.image(
            np.stack(stack, -1) if len(stack) > 1 else stack[0], series, tr=2.0 * (len(stack) > 1)
        )


def _protons(tissue):
    """Return the density of visible protons: none in air, little in bone, much in all that is soft."""
    return np.tanh((tissue / 0.3) ** 3)


def _like_brain(tissue):
    """Return 1 where a T1w is as bright as brain, less for muscle, next to nothing for fat."""
    return np.exp(-(((tissue - 0.5) / 0.22) ** 2))


def all_contrasts(root, path):
    """Write a dataset of one head in many contrasts; return it and the series of each scan."""
    head = SyntheticHead(path)
    own = Series(head.t1w.shape, head.t1w.affine, np.eye(4))
    megre = head.series((2.2, 2.2, 2.6), (1, -1, 2), (1, 2, -1))
    mp2rage = head.series((1.8, 1.8, 1.8), (-2, 0, 1), (0, 1, 2))
    vfa = head.series((2.5, 2.5, 2.5), (1, 1, 0), (-1, 0, 1))
    t2w = head.series((2, 2, 2), (12, 0, 0), (0, 9, 12))  # 12 degrees and 15 mm
    inversions, uniform, t1map = head.mp2rage(mp2rage)
    scans = {"T1w": (head.t1w, own), "T2w": (head.t2w(t2w), t2w), "UNIT1": (uniform, mp2rage)}
    scans |= {"T1map": (t1map, mp2rage), "flip-1_VFA": (head.flip_angles(vfa), vfa)}
    scans |= {f"inv-{n}_MP2RAGE": (image, mp2rage) for n, image in inversions.items()}
    for n, magnitude, phase in head.echoes(megre):
        scans |= {
            f"echo-{n}_part-mag_MEGRE": (magnitude, megre),
            f"echo-{n}_part-phase_MEGRE": (phase, megre),
        }
    metadata = {"EchoTime": 0.005, "FlipAngle": 9, "InversionTime": 0.7, "RepetitionTimeExcitation": 0.02}
    metadata |= {"RepetitionTimePreparation": 5.0, "NumberShots": 128, "MagneticFieldStrength": 3}
    metadata |= {"PulseSequenceType": "GRE", "Units": "arbitrary"}
    images = {f"sub-01/anat/sub-01_{name}.nii.gz": image for name, (image, _) in scans.items()}
    return make_dataset(root, images, metadata=metadata), {
        name: series for name, (_, series) in scans.items()
    }
