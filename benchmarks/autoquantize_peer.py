"""ModelOpt AutoQuantize: what each format of each layer does to the loss, by gradients, then an integer program.

Its formats are of the user's own making here, as its documentation allows: integers of 2, 4 and 8 bits per channel for
weights, 8 bits per tensor for activations. Left to itself it may also leave layers in float, counted as 16 bits.
"""

import copy
import io
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

import modelopt.torch.quantization as modelopt_quantization
import torch.nn.functional as F
from torch import Tensor, nn

from automl.evaluate.measure import answers
from benchmarks.bit_task import ACTIVATION_BITS, END_BITS, WEIGHT_BITS, Assigned, BitTask, able
from benchmarks.method import answered

_Batch = tuple[Tensor, Tensor]


def assign(task: BitTask) -> Assigned:
    """Bits of every layer, and what its own quantized network answers.

    It is calibrated on the calibration images, and scores formats on the calibration and the search images.
    """
    subject = task.subject
    calibration = answered(subject.model, task.calibration)
    scored = [*calibration, *answered(subject.model, task.search)]
    started = time.perf_counter()
    network = _searched(task, scored, len(calibration))
    seconds = time.perf_counter() - started
    return Assigned(_bits(network), seconds, answers(network, task.test, subject.device).logits)


def _searched(task: BitTask, scored: Sequence[_Batch], calibrated: int) -> nn.Module:
    inner, ends = [_format(bits) for bits in WEIGHT_BITS], [_format(END_BITS)]
    others = [name for name in able(task.subject.traced.graph).layers if name not in task.ends]
    spaces = [
        {"module_name_patterns": names, "quantization_formats": formats, "allow_no_quant": False}
        for names, formats in ((list(task.ends), ends), (others, inner))
    ]
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        network, _ = modelopt_quantization.auto_quantize(
            copy.deepcopy(task.subject.model).eval(),
            constraints={"effective_bits": task.mean_bits},
            quantization_formats=inner,
            module_search_spaces=spaces,
            data_loader=scored,
            forward_step=_logits,
            loss_func=_loss,
            num_calib_steps=calibrated,
            num_score_steps=len(scored),
        )
    assert isinstance(network, nn.Module)
    return network


def _format(bits: int) -> dict[str, Any]:
    return {
        "quant_cfg": [
            {"quantizer_name": "*weight_quantizer", "cfg": {"num_bits": bits, "axis": 0}},
            {"quantizer_name": "*input_quantizer", "cfg": {"num_bits": ACTIVATION_BITS, "axis": None}},
        ],
        "algorithm": "max",
    }


def _bits(network: nn.Module) -> Mapping[str, int]:
    quantizers = {name: getattr(layer, "weight_quantizer", None) for name, layer in network.named_modules()}
    return {name: int(each.num_bits) for name, each in quantizers.items() if each is not None and each.is_enabled}


def _logits(network: nn.Module, batch: _Batch) -> Tensor:
    logits: Tensor = network(batch[0])
    return logits


def _loss(logits: Tensor, batch: _Batch) -> Tensor:
    return F.cross_entropy(logits, batch[1])
