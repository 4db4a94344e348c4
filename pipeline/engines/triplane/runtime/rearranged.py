"""Layers of the network with their weights in the order in which kernels have their channels."""

import copy

import torch
from torch import nn

from vcam_relight.pipeline.engines.triplane.network.model import TriplaneNetwork
from vcam_relight.pipeline.engines.triplane.runtime.native_layers import bias_of


def by_square(convolution: nn.Conv2d) -> nn.Conv2d:
    """The network's first convolution, for channels of one pixel that lie side by side.

    `pixel_unshuffle` leaves them far apart.
    """
    full = copy.deepcopy(convolution)
    weight = full.weight.data
    by_pixel = weight.view(len(weight), 3, 4, *weight.shape[2:]).transpose(1, 2)
    full.weight.data = by_pixel.flatten(1, 2)
    return full


def with_density(network: TriplaneNetwork) -> nn.Conv2d:
    """The albedo planes' last convolution with the density as one more feature.

    It is linear in the others, so that it may as well be looked up itself.
    """
    features, density = network.albedo_planes.out, network.renderer.density
    both = nn.Conv2d(features.in_channels, features.out_channels + 1, 3, padding=1)
    more = torch.einsum("of,fikl->oikl", density.weight, features.weight)
    both.weight.data = torch.cat([features.weight, more]).detach()
    bias = bias_of(features)
    both.bias = nn.Parameter(torch.cat([bias, density.weight.detach() @ bias]), requires_grad=False)
    return both
