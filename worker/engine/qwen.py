"""The only place that imports qwen-tts: without its 25 Hz tokenizer, and without a word printed.

qwen-tts imports two speech tokenizers. No released model uses the one for 25 Hz, yet it drags in
torchaudio (whose wheel is linked to CUDA and fails to load beside a CPU build of torch), sox
(which complains when its program is missing), onnxruntime, and a banner about flash-attn. A
placeholder in `sys.modules` stands in for that one module; everything else is the library's own.

transformers writes notes to stderr at every load and every generate call ("Setting
`pad_token_id` to ..."), qwen-tts to the log. They tell the user nothing to act on, so the former
is set to report errors only and the latter warnings.
"""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Any

from transformers.utils import logging as transformers_logging

_TOKENIZER_25HZ = "qwen_tts.core.tokenizer_25hz.modeling_qwen3_tts_tokenizer_v1"


class Qwen3TTSTokenizerV1Model:
    """The stand-in for the 25 Hz speech tokenizer; `NotImplementedError` when one is loaded."""

    @classmethod
    def from_pretrained(cls, *_args: Any, **_kwargs: Any) -> None:
        """Refuse: transformers calls this for a checkpoint with a 25 Hz speech tokenizer."""
        raise NotImplementedError("the 25 Hz speech tokenizer is not supported, only the 12 Hz one")


transformers_logging.set_verbosity_error()
logging.getLogger("qwen_tts").setLevel(logging.WARNING)
_placeholder = ModuleType(_TOKENIZER_25HZ, "Stands in for the 25 Hz tokenizer.")
_placeholder.__dict__["Qwen3TTSTokenizerV1Model"] = Qwen3TTSTokenizerV1Model
sys.modules.setdefault(_TOKENIZER_25HZ, _placeholder)

# These imports have to come after the placeholder.
from qwen_tts import Qwen3TTSModel, VoiceClonePromptItem  # noqa: E402
from qwen_tts.core.models import Qwen3TTSConfig, Qwen3TTSForConditionalGeneration  # noqa: E402
from qwen_tts.core.tokenizer_12hz.configuration_qwen3_tts_tokenizer_v2 import (  # noqa: E402
    Qwen3TTSTokenizerV2Config,
)
from qwen_tts.core.tokenizer_12hz.modeling_qwen3_tts_tokenizer_v2 import (  # noqa: E402
    Qwen3TTSTokenizerV2Model,
)

__all__ = [
    "Qwen3TTSConfig",
    "Qwen3TTSForConditionalGeneration",
    "Qwen3TTSModel",
    "Qwen3TTSTokenizerV2Config",
    "Qwen3TTSTokenizerV2Model",
    "VoiceClonePromptItem",
]
