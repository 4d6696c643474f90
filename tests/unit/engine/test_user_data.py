"""The Secrets of the operator's own namespace are nobody's cloud-config."""

from __future__ import annotations

import asyncio

import pytest
from tests.support import manifests
from tests.support.simulation import Simulation

from vmclone_operator.api.template import CloudInitSpec
from vmclone_operator.engine.secrets import user_data
from vmclone_operator.kube.cluster import Kind

WISH = CloudInitSpec.model_validate({"secretRef": {"name": "mine"}})


def test_no_secret_of_the_operator_s_own_namespace_is_read() -> None:
    sim = Simulation()
    secret = manifests.home_key("mine", **{"user-data": "#cloud-config\npackages: [vim]\n"})
    sim.cluster.apply(Kind.SECRET, secret)
    with pytest.raises(user_data.SecretNotReadable, match="is the operator's own namespace"):
        asyncio.run(user_data.read(sim.engine, "vmclone-system", WISH))
    elsewhere = {**secret, "metadata": {"name": "mine", "namespace": "team-a"}}
    sim.cluster.apply(Kind.SECRET, elsewhere)
    assert asyncio.run(user_data.read(sim.engine, "team-a", WISH)) == {"packages": ["vim"]}
