import pytest

from automl.training.recipe import baseline_recipe, finetune_recipe, quantization_recipe


def test_small_sets_get_more_epochs_and_smaller_batches_than_large_ones() -> None:
    small, large = baseline_recipe(1_000), baseline_recipe(45_000)
    assert small.epochs > large.epochs
    assert small.batch_size < large.batch_size


@pytest.mark.parametrize(
    ("images", "batch_size", "epochs"),
    [(100, 16, 30), (1_000, 32, 30), (6_000, 64, 20), (45_000, 128, 12), (1_000_000, 128, 12)],
)
def test_batch_size_and_epochs_follow_the_size_of_the_set(images: int, batch_size: int, epochs: int) -> None:
    for recipe in (baseline_recipe(images), finetune_recipe(images)):
        assert (recipe.batch_size, recipe.epochs) == (batch_size, epochs)


def test_the_number_of_epochs_can_be_given() -> None:
    assert baseline_recipe(1_000, epochs=3).epochs == 3
    assert finetune_recipe(1_000, epochs=0).epochs == 0


def test_trained_weights_get_a_lower_learning_rate() -> None:
    assert baseline_recipe(1_000, pretrained=True).learning_rate < baseline_recipe(1_000).learning_rate


def test_only_the_fine_tuning_learns_from_a_teacher() -> None:
    assert baseline_recipe(1_000).distillation == 0
    assert 0 < finetune_recipe(1_000).distillation <= 1


def test_without_labels_the_learning_rate_is_lower() -> None:
    assert finetune_recipe(1_000, labelled=False).learning_rate < finetune_recipe(1_000).learning_rate


def test_the_training_at_bit_widths_is_shorter_and_gentler_and_skipped_with_the_fine_tuning() -> None:
    whole = finetune_recipe(1_000)
    rounded = quantization_recipe(whole)
    assert 0 < rounded.epochs < whole.epochs
    assert rounded.learning_rate < whole.learning_rate
    assert rounded.distillation == whole.distillation
    assert quantization_recipe(finetune_recipe(1_000, epochs=1)).epochs == 1
    assert quantization_recipe(finetune_recipe(1_000, epochs=0)).epochs == 0
