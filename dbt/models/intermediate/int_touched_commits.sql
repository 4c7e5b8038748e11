{%- do ref('int_deployments') -%}
{%- do ref('stg_deployment_changes') -%}
{%- set changes = source('raw', 'changes') -%}
{%- set change_paths = source('raw', 'change_paths') -%}
{%- set deployment_changes = source('raw', 'deployment_changes') -%}
{%- set pull_requests = source('raw', 'pull_requests') -%}
{%- set events = source('raw', 'pull_request_events') -%}

{%- if is_update() -%}
with deployments as (

    select distinct
        source,
        deployment_id
    from {{ changed_since_last_build('deployments') }} as differing

)

select commit_sha from {{ new_rows(changes) }} as changes
union
select commit_sha from {{ new_rows(change_paths) }} as change_paths
union
select commit_sha from {{ new_rows(deployment_changes) }} as deployment_changes
union
select shipped.commit_sha
from {{ ref('stg_deployment_changes') }} as shipped
inner join deployments
    on
        shipped.source = deployments.source
        and shipped.deployment_id = deployments.deployment_id
union
select changes.commit_sha
from {{ changes }} as changes
inner join {{ new_pull_requests(pull_requests, events) }} as pull_requests
    on
        changes.source = pull_requests.source
        and changes.repository = pull_requests.repository
        and changes.pull_request_number = pull_requests.pull_request_number
{%- else -%}
{{ no_rows({'commit_sha': 'string'}) }}
{%- endif %}
