import pytest

from automl.core.errors import InputError
from automl.search.agent_settings import DEFAULTS, parse_settings


def test_ddpg_has_amcs_published_settings() -> None:
    amc = parse_settings("ddpg", None)
    assert (amc.actions, amc.reward, amc.credit) == ("direct", "accuracy", "copied")
    assert (amc.hidden, amc.actor_rate, amc.critic_rate, amc.tau, amc.batch) == (300, 1e-4, 1e-3, 0.01, 64)
    assert (amc.noise, amc.decay, amc.memory, amc.updates) == (1.0, 0.95, 100, 1)  # 0.5 on a scale from 0 to 1
    assert not amc.seeded
    assert amc.pretrain == 0


def test_settings_are_overridden_by_name() -> None:
    found = parse_settings("td3", "noise=0.3, reward=kl,pretrain=0,seeded=false")
    assert (found.noise, found.reward, found.pretrain, found.seeded) == (0.3, "kl", 0, False)
    assert found.hidden == DEFAULTS["td3"].hidden


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nois=0.3", r"'nois' is none\. Did you mean noise"),
        ("joy=0.3", r"'joy' is none\. There are: actions, reward"),
        ("noise", "'noise' has no value"),
        ("noise=loud", "`noise` of an agent must be a number, but got 'loud'"),
        ("hidden=1.5", "`hidden` of an agent must be a whole number"),
        ("seeded=1", "`seeded` of an agent is true or false, but got '1'"),
        ("reward=fame,pretrain=0", "A reward must be one that there is, but 'fame' is not"),
        ("reward=acuracy,pretrain=0", "Did you mean accuracy"),
        ("reward=accuracy", "Add `pretrain=0`"),
        ("actions=indirect", "residual or direct, but got 'indirect'"),
        ("credit=none", "`credit` of an agent is copied or return"),
        ("hidden=0", "`hidden` of an agent must be at least 1"),
        ("warmup=-1", "`warmup` of an agent must be at least 0"),
        ("tau=0", "`tau` of an agent must be above 0"),
        ("decay=nan", "`decay` of an agent must be above 0"),
        ("prior=-1", "`prior` of an agent must be at least 0"),
        ("noise=inf", "`noise` of an agent must be above 0"),
    ],
)
def test_bad_settings_are_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_settings("td3", text)
