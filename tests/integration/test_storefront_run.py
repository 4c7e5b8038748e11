"""Eight years of a real storefront through `plumbline run`."""

from __future__ import annotations

from running import installation, published, run


def test_the_storefront_history_reads_as_recorded(storefront, tmp_path):
    tags = r"production-{1,2}(?P<timestamp>\d{4}-\d{2}-\d{2}-{1,2}\d{2}-\d{2}(-\d{2})?)"
    config = installation(
        tmp_path,
        f"  - kind: git\n    repository: {storefront}\n    service: storefront-web\n"
        f"    deployments:\n      tags: '{tags}'\n      environment: production\n",
        "storefront-web,shop,frontend,storefront,,\n",
    )
    code, output = run(config)
    assert code == 0, output
    totals = "sum(deployments), sum(rollbacks), sum(redeploys), sum(changes)"
    for period in ("daily", "weekly", "monthly", "quarterly"):
        assert published(config, f"select {totals} from delivery_{period}") == [(1480, 24, 22, 16345)]
    assert published(config, "select count(*) from fct_changes where lead_time_hours < 0") == [(0,)]
    ((august, bulk),) = published(
        config,
        "select lead_time_median_hours, changes from delivery_monthly where month = date '2021-08-01'",
    )
    assert august < 24
    assert bulk > 4870
    assert published(
        config,
        "select sum(changes) from fct_deployments "
        "where is_bulk_import and finished_at between '2021-08-01' and '2021-09-01'",
    ) == [(4870,)]
