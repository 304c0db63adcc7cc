"""Changes of training images that leave their classes as they are: a function of seed and iteration alone, like the batches."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from odebench.errors import IncompatibleError

_STREAM = 0xC409F
#: Seeds of two iterations, or of two trainings, must not meet: there are fewer iterations than this.
_ITERATIONS = 1_000_000_007
#: Black pixels that are added on each side before an image is cut out anew.
_PADDING = 4


def crop_flip(images: Tensor, seed: int, iteration: int) -> Tensor:
    """Each image shifted by up to four pixels in each direction, what comes in being black, and every other one mirrored.

    Source: K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016, arXiv:1512.03385,
    section 4.2; as in https://github.com/amirgholami/anode.

    Args:
        images: `(batch, channels, height, width)`, not normalised: black is 0.
        seed, iteration: what is drawn follows from them.

    Raises:
        IncompatibleError: these are no images.
    """
    if images.dim() != 4:
        raise IncompatibleError(
            f"`augment` is 'crop-flip', and the inputs have shape {tuple(images.shape[1:])}; images have (channels, height, width). "
            "Say 'none'."
        )
    batch, channels, height, width = images.shape
    generator = torch.Generator().manual_seed(_STREAM + seed * _ITERATIONS + iteration)
    down, right = torch.randint(2 * _PADDING + 1, (2, batch, 1), generator=generator)
    mirrored = torch.randint(2, (batch, 1), generator=generator).bool()
    rows = down + torch.arange(height)
    columns = right + torch.where(mirrored, torch.arange(width).flip(0), torch.arange(width))
    return pad(images, (_PADDING,) * 4)[
        torch.arange(batch).view(-1, 1, 1, 1).to(images.device),
        torch.arange(channels).view(1, -1, 1, 1).to(images.device),
        rows.view(batch, 1, height, 1).to(images.device),
        columns.view(batch, 1, 1, width).to(images.device),
    ]


AUGMENTATIONS: dict[str, Callable[[Tensor, int, int], Tensor] | None] = {"none": None, "crop-flip": crop_flip}
"""What `augment` may be: called with a batch's inputs, seed and iteration."""
