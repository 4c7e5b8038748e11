with source as (

    select * from {{ source('raw', 'pull_requests') }}

),

-- Of reviews and comments those by somebody other than the author.
events as (

    select
        events.source,
        events.repository,
        events.pull_request_number,
        min(events.occurred_at) filter (where events.event_type = 'committed') as first_commit_at,
        min(events.occurred_at) filter (where events.event_type = 'ready') as ready_at,
        min(events.occurred_at) filter (
            where
            events.event_type in ('commented', 'reviewed', 'approved')
            and events.actor_key is distinct from pull_requests.author_key
        ) as first_review_at,
        min(events.occurred_at) filter (where events.event_type = 'approved') as approved_at,
        count(distinct events.event_id) filter (
            where
            events.event_type in ('reviewed', 'approved')
            and events.actor_key is distinct from pull_requests.author_key
        ) as review_count
    from {{ ref('stg_pull_request_events') }} as events
    -- Not the expression above: DuckDB keeps one that is named twice whole before it filters.
    inner join {{ source('raw', 'pull_requests') }} as pull_requests
        on
            events.source = pull_requests.source
            and events.repository = pull_requests.repository
            and events.pull_request_number = pull_requests.pull_request_number
    group by all

),

renamed as (

    select
        -- keys
        source.source,
        source.repository,
        source.pull_request_number,
        source.merge_commit_sha,
        source.author_key,

        -- kind
        source.merge_method,
        coalesce(source.review_count, events.review_count) as review_count,

        -- size
        source.files_changed,
        source.lines_added,
        source.lines_deleted,

        -- times
        coalesce(source.first_commit_at, events.first_commit_at) as first_commit_at,
        source.created_at,
        coalesce(source.ready_at, events.ready_at) as ready_at,
        coalesce(source.first_review_at, events.first_review_at) as first_review_at,
        coalesce(source.approved_at, events.approved_at) as approved_at,
        source.merged_at,
        source.closed_at

    from source
    left join events
        on
            source.source = events.source
            and source.repository = events.repository
            and source.pull_request_number = events.pull_request_number

)

select * from renamed
