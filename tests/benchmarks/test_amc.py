import numpy as np
import torch
from torch import Tensor, nn

from automl.compress.importance import most_important, scores
from automl.core.policy import CompressionPolicy
from automl.tracing.trace import trace
from benchmarks.amc import AmcEvaluator


class Small(nn.Module):
    """A strided 3x3 convolution, a depthwise one between, a 1x1 and a linear layer; no bias but the last."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.strided = nn.Conv2d(8, 6, 3, stride=2, padding=1, bias=False)
        self.pointwise = nn.Conv2d(6, 6, 1, bias=False)
        self.fc = nn.Linear(6, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.strided(torch.relu(self.depthwise(self.first(x)))))
        logits: Tensor = self.fc(torch.relu(self.pointwise(x)).mean((2, 3)))
        return logits


def evaluator(model: nn.Module) -> AmcEvaluator:
    torch.manual_seed(0)
    return AmcEvaluator(model, trace(model, (3, 8, 8)), [torch.randn(50, 3, 8, 8) for _ in range(4)])


def test_the_samples_are_ten_places_per_batch_and_every_image_of_a_linear_layer() -> None:
    rows = {name: len(samples.inputs) for name, samples in evaluator(Small().eval())._samples.items()}
    assert rows == {"strided": 4 * 50 * 10, "pointwise": 4 * 50 * 10, "fc": 4 * 50}


def test_what_a_layer_read_gives_what_it_gave() -> None:
    model = Small().eval()
    for name, samples in evaluator(model)._samples.items():
        weight = model.get_parameter(f"{name}.weight").detach().flatten(1).numpy()
        np.testing.assert_allclose(samples.inputs @ weight.T, samples.outputs, atol=1e-5)


def test_the_recovered_weights_are_least_squares_fits_and_zero_elsewhere() -> None:
    model = Small().eval()
    traced = trace(model, (3, 8, 8))
    amc = evaluator(model)
    kept = most_important(traced, CompressionPolicy({"first": 5, "strided": 4}), scores(model, traced, "l1"))
    found = amc.recover(kept)
    assert found.seconds > 0
    assert set(found.weights) == {"strided.weight", "pointwise.weight"}
    mask = np.isin(np.arange(8), kept["first"])
    weight = found.weights["strided.weight"].numpy()
    assert not weight[:, ~mask].any()
    samples = amc._samples["strided"]
    columns = np.repeat(mask, 9)
    expected = np.linalg.lstsq(samples.inputs[:, columns].astype(np.float64), samples.outputs, rcond=None)[0].T
    np.testing.assert_allclose(weight.reshape(6, -1)[:, columns], expected, atol=1e-4)


def test_the_masked_network_is_measured_at_full_size_and_the_dense_one_stays() -> None:
    model = Small().eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    amc = evaluator(model)
    images = [torch.randn(5, 3, 8, 8), torch.randn(3, 3, 8, 8)]
    with torch.no_grad():
        torch.testing.assert_close(amc.evaluate({}, images), model(torch.cat(images)))
        zeros = {"fc.weight": torch.zeros(4, 6)}
        assert not amc.evaluate(zeros, images).any()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert amc.sample_bytes == sum(4 * 200 * sides for sides in (10 * (72 + 6), 10 * (6 + 6), 6 + 4))
