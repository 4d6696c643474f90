"""The API server takes what the chart renders with every value set: field names and forms that Helm does not judge."""

from __future__ import annotations

import json

import pytest
from tests.integration.chart.release import ask

from vmclone_chart.expected import merged, table
from vmclone_chart.rendered import render

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("installed")]
ELSEWHERE = ("CustomResourceDefinition", "ServiceMonitor", "PrometheusRule")
"""The definitions belong to the release that is installed; the lab has no Prometheus operator."""


def test_the_api_server_takes_every_value_where_pod_security_is_restricted() -> None:
    together, _ = table()
    documents = render(values=merged([row.values for row in together]))
    items = [document for document in documents if document["kind"] not in ELSEWHERE]
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    answer = ask("kubectl", "apply", "--dry-run=server", "-f", "-", stdin=text)
    assert answer.status == 0, answer.text
    assert "would violate PodSecurity" not in answer.text
    assert answer.text.count("(server dry run)") == len(items) > 15
