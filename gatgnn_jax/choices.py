"""What options and arguments choose from by name."""

from typing import Literal

Device = Literal["auto", "cpu", "gpu"]

Format = Literal["png", "svg", "pdf"]
"""Of a picture's file; the last two are drawn in lines and letters, for papers."""

Streaming = Literal["auto", "always", "never"]
"""Whether crystals are read from disk as they are needed."""

LoggerName = Literal["tensorboard", "wandb"]

GroupBy = Literal["formula", "none"]
"""Which crystals stay in one fold."""

ClassWeight = Literal["balanced", "none"]
"""Whether all classes count alike in training, or all crystals."""
