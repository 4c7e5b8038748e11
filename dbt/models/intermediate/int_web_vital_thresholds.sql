select
    'LCP' as metric_name,
    2500.0 as good_to,
    4000.0 as poor_above
union all
select
    'INP' as metric_name,
    200.0 as good_to,
    500.0 as poor_above
union all
select
    'CLS' as metric_name,
    0.1 as good_to,
    0.25 as poor_above
union all
select
    'FCP' as metric_name,
    1800.0 as good_to,
    3000.0 as poor_above
union all
select
    'TTFB' as metric_name,
    800.0 as good_to,
    1800.0 as poor_above
