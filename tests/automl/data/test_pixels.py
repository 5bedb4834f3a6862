import torch
from PIL import Image

from automl.data.pixels import as_channels, content_digest, fitted, middle, of_pil, stretched


def test_grey_is_repeated_and_colour_becomes_luma() -> None:
    grey = torch.tensor([[[100]]], dtype=torch.uint8)
    assert as_channels(grey, 3).flatten().tolist() == [100, 100, 100]
    red_green_blue = torch.tensor([[[100.0]], [[50.0]], [[200.0]]])
    # ITU-R 601: 0.299 * 100 + 0.587 * 50 + 0.114 * 200 = 82.05, to the digits that torchvision keeps.
    assert abs(as_channels(red_green_blue, 1).item() - 82.05) < 0.05


def test_a_batch_is_converted_as_a_whole() -> None:
    assert as_channels(torch.zeros(5, 1, 4, 4), 3).shape == (5, 3, 4, 4)


def test_the_middle_is_cut_out_unchanged() -> None:
    image = torch.arange(16).view(1, 4, 4)
    assert middle(image, 2).flatten().tolist() == [5, 6, 9, 10]
    assert middle(image, 4) is image


def test_fitting_keeps_the_aspect_and_stretching_does_not() -> None:
    image = torch.zeros(1, 4, 8)
    image[:, :, 4:] = 1
    assert fitted(image, 2).shape == stretched(image, 2).shape == (1, 2, 2)
    assert fitted(image, 4).flatten(1)[0, :4].tolist() == [0, 0, 1, 1]


def test_pictures_of_any_mode_become_one_or_three_channels() -> None:
    shapes = {mode: tuple(of_pil(Image.new(mode, (4, 3))).shape) for mode in ("L", "RGB", "RGBA", "P", "CMYK", "1")}
    assert shapes.pop("L") == (1, 3, 4)
    assert set(shapes.values()) == {(3, 3, 4)}


def test_the_digest_sees_pixels_labels_and_shape() -> None:
    pixels, labels = torch.zeros(2, 1, 2, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64).numpy()
    digest = content_digest(pixels, labels)
    changed = pixels.clone()
    changed[1, 0, 1, 2] = 1
    others = {content_digest(changed, labels), content_digest(pixels, labels + 1)}
    others.add(content_digest(pixels.view(2, 1, 3, 2), labels))
    assert len(others | {digest}) == 4
