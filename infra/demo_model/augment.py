"""Random views of transparent drawings, a whole batch at a time, and the plain view that tests use."""

import math

import torch
from torch import Tensor
from torch.nn import functional

MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


def plain(pictures: Tensor, pixels: int) -> Tensor:
    """[n, side, side, 4] premultiplied uint8 -> [n, 3, pixels, pixels] on white, normalised."""
    rgba = pictures.permute(0, 3, 1, 2).float() / 255
    white = rgba[:, :3] + 1 - rgba[:, 3:]
    return functional.interpolate(white, size=pixels, mode="bicubic", antialias=True).clamp(0, 1) * 2 - 1


def _places(n: int, strength: float, draw: torch.Generator) -> Tensor:
    """[n, 2, 3] affine maps: turn, scale, stretch, shift and mirror."""
    uniform = torch.rand(5, n, generator=draw) * 2 - 1
    angle = uniform[0] * math.pi * strength * torch.where(torch.rand(n, generator=draw) < 0.15, 0.4, 0.08)
    scale = torch.exp(uniform[1] * 0.35 * strength + 0.08 * strength)
    stretch = torch.exp(uniform[2] * 0.18 * strength)
    mirror = torch.where(torch.rand(n, generator=draw) < 0.5, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    shift = uniform[3:] * 0.22 * strength
    rows = [cos * stretch * mirror, -sin * stretch, shift[0], sin / stretch * mirror, cos / stretch, shift[1]]
    return torch.stack(rows, dim=1).reshape(n, 2, 3)


def _colours(rgb: Tensor, strength: float, draw: torch.Generator) -> Tensor:
    """Mixes channels, shifts brightness and contrast, drops colour or inverts some pictures; [n, 3, h, w] in 0..1."""
    n = len(rgb)
    mix = torch.eye(3) + strength * 0.25 * torch.randn(n, 3, 3, generator=draw)
    mix = mix / mix.sum(dim=2, keepdim=True).clamp(min=0.5)
    grey = torch.rand(n, 1, 1, generator=draw) < 0.15 * strength
    mix = torch.where(grey, torch.tensor([0.30, 0.59, 0.11]).expand(n, 3, 3), mix)
    mixed = torch.einsum("nij,njhw->nihw", mix, rgb)
    contrast = torch.exp(0.3 * strength * torch.randn(n, 1, 1, 1, generator=draw))
    mixed = (mixed - 0.5) * contrast + 0.5 + 0.1 * strength * torch.randn(n, 1, 1, 1, generator=draw)
    invert = torch.rand(n, 1, 1, 1, generator=draw) < 0.04 * strength
    return torch.where(invert, 1 - mixed, mixed).clamp(0, 1)


def _holes(n: int, pixels: int, strength: float, draw: torch.Generator) -> Tensor:
    """[n, 1, pixels, pixels], true inside a random rectangle of some pictures."""
    centre, half = torch.rand(2, n, 1, generator=draw), torch.rand(2, n, 1, generator=draw) * 0.22
    half = half * (torch.rand(n, 1, generator=draw) < 0.4 * strength)
    at = torch.arange(pixels).add(0.5) / pixels
    inside = (at - centre).abs() < half
    return (inside[0, :, :, None] & inside[1, :, None, :])[:, None]


def augmented(pictures: Tensor, pixels: int, strength: float, draw: torch.Generator) -> Tensor:
    """[n, side, side, 4] premultiplied uint8 -> [n, 3, pixels, pixels], normalised; strength 1 changes most."""
    n = len(pictures)
    grid = functional.affine_grid(_places(n, strength, draw), [n, 4, pixels, pixels], align_corners=False)
    planes = pictures.permute(0, 3, 1, 2).contiguous().float().div_(255)
    rgba = functional.grid_sample(planes, grid, align_corners=False)
    tint = torch.rand(n, 3, 1, 1, generator=draw)
    ground = torch.where(torch.rand(n, 1, 1, 1, generator=draw) < 0.4 * strength, 0.35 + 0.65 * tint, torch.ones(()))
    rgb = _colours((rgba[:, :3] + (1 - rgba[:, 3:]) * ground).clamp(0, 1), strength, draw)
    noise = torch.rand(n, 3, 1, 1, generator=draw).expand_as(rgb)
    return torch.where(_holes(n, pixels, strength, draw), noise, rgb) * 2 - 1
