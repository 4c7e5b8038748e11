{%- do ref('int_touched_commits') -%}
{%- do ref('int_restated_days') -%}
{%- do ref('int_deployments') -%}
{%- do ref('int_changes') -%}
{%- do ref('int_review_groups') -%}
{%- do ref('stg_pull_requests') -%}
{%- set raw_pull_requests = source('raw', 'pull_requests') -%}
{%- set events = source('raw', 'pull_request_events') -%}

{%- if is_update() -%}
with deployments as (

    select known.deployment_key
    from (
        select
            deployment_key,
            service,
            deployed_on
        from {{ ref('int_deployments') }}
        where is_success
        union
        select
            deployment_key,
            service,
            deployed_on
        from meta.seen_deployments
    ) as known
    inner join {{ ref('int_restated_days') }} as restated
        on
            known.service = restated.service
            and known.deployed_on = restated.deployed_on

),

review_groups as (

    select
        source,
        repository,
        created_quarter
    from {{ changed_since_last_build('review_groups') }} as differing

)

select
    source,
    repository,
    pull_request_number
from {{ new_pull_requests(raw_pull_requests, events) }} as pull_requests
union
select
    pull_requests.source,
    pull_requests.repository,
    pull_requests.pull_request_number
from {{ ref('stg_pull_requests') }} as pull_requests
inner join {{ ref('int_touched_commits') }} as touched on pull_requests.merge_commit_sha = touched.commit_sha
union
select
    pull_requests.source,
    pull_requests.repository,
    pull_requests.pull_request_number
from {{ ref('stg_pull_requests') }} as pull_requests
inner join review_groups
    on
        pull_requests.source = review_groups.source
        and pull_requests.repository = review_groups.repository
        and {{ period_start('quarter', day_of('pull_requests.created_at')) }} = review_groups.created_quarter
union
select
    shipped.source,
    shipped.repository,
    shipped.pull_request_number
from {{ as_it_stands('int_shipped_pull_requests') }} as shipped
inner join deployments on shipped.deployment_key = deployments.deployment_key
union
select
    changes.source,
    changes.repository,
    changes.pull_request_number
from {{ ref('int_changes') }} as changes
inner join deployments on changes.deployment_key = deployments.deployment_key
where changes.pull_request_number is not null
{%- else -%}
{{ no_rows({'source': 'string', 'repository': 'string', 'pull_request_number': 'bigint'}) }}
{%- endif %}
