from dataclasses import replace

import pytest

from automl.report.metrics import BudgetLine, Metrics
from automl.report.verdict import differences, verdict
from automl.store.answers import ImageAnswers

MET = BudgetLine("flops", 75_200_000.0, 75_100_000.0, 74_899_200.0, met=True)


def test_a_result_is_told_in_one_sentence(metrics: Metrics, answers: ImageAnswers) -> None:
    told = verdict(replace(metrics, budgets=(MET,)), answers)
    # 80 and 60 of 100 right: won 20, lost 0; (21 - 1) / 102 +- 1.96 sqrt((22/102 - (20/102)^2) / 102).
    assert told == (
        "At 24.9% of the MACs (budget 25.0%: met) the network keeps 96.9% of 97.8% accuracy (95% interval 95.1 to "
        "98.1); before fine-tuning it keeps 90.0% and uniform narrowing 90.0%: the search is better, by +20.0 points "
        "(95% interval +11.4 to +27.8)."
    )


def test_a_missed_budget_is_said_first(metrics: Metrics) -> None:
    told = verdict(replace(metrics, budgets=(MET, replace(MET, metric="size", measured=7.1e6, met=False))), None)
    assert told.startswith(
        "A budget is missed: at 24.9% of the MACs (budget 25.0%: met) and 50.0% of the bytes (budget "
    )
    assert "missed)" in told


def test_without_a_dense_latency_milliseconds_are_told(metrics: Metrics) -> None:
    line = BudgetLine("latency", 5.0, 4.5, None, met=True)
    assert "At 4.5 ms (budget 5 ms: met, as predicted) the" in verdict(replace(metrics, budgets=(line,)), None)


def test_uniform_is_called_better_where_it_is(metrics: Metrics, answers: ImageAnswers) -> None:
    networks = {**answers.networks, "best": answers.networks["uniform"], "uniform": answers.networks["best"]}
    told = verdict(metrics, replace(answers, networks=networks))
    assert told.endswith("uniform narrowing is better, by +20.0 points (95% interval +11.4 to +27.8).")


def test_a_difference_that_may_be_chance_is_not_called_one(metrics: Metrics, answers: ImageAnswers) -> None:
    nearly = answers.networks["uniform"].copy()
    nearly[60] = answers.labels[60]
    told = verdict(metrics, replace(answers, networks={**answers.networks, "best": nearly}))
    assert "which is no difference that can be told: +1.0 points (95% interval -" in told


def test_networks_that_answer_alike_are_said_to(metrics: Metrics, answers: ImageAnswers) -> None:
    networks = {**answers.networks, "best": answers.networks["uniform"]}
    assert verdict(metrics, replace(answers, networks=networks)).endswith("with the same answer to every test image.")


def test_where_uniform_was_chosen_nothing_is_compared(metrics: Metrics) -> None:
    chosen = replace(metrics, search=replace(metrics.search, winner="uniform"))
    assert verdict(chosen, None).endswith("; the policy is the uniform one (90.0% before fine-tuning).")


def test_without_answers_only_the_intervals_are_compared(metrics: Metrics) -> None:
    assert verdict(metrics, None).endswith("and their intervals overlap, so that the order may be chance.")
    apart = replace(metrics, uniform=replace(metrics.uniform, accuracy=0.5, accuracy_ci95=(0.45, 0.55)))
    assert verdict(apart, None).endswith("uniform narrowing 50.0%, and their intervals do not overlap.")


def test_what_was_not_fine_tuned_is_not_said_to_be(metrics: Metrics) -> None:
    assert "fine-tuning" not in verdict(replace(metrics, finetuned=None), None)


def test_differences_are_of_networks_that_are_there(answers: ImageAnswers) -> None:
    found = differences(answers)
    assert list(found) == ["Exported less Baseline", "Best less Uniform, both before fine-tuning"]
    assert found["Exported less Baseline"].difference == pytest.approx(-0.02)
