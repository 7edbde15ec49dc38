"""From a file's bytes to pixels of a model's input size. Only mode "fast" loads torch, when it is first called."""

from ood_core.decoding.decoder import FORMATS, DecodeError, Decoder, Mode, Picture

__all__ = ["FORMATS", "DecodeError", "Decoder", "Mode", "Picture"]
