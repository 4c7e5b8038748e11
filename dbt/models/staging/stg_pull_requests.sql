with source as (

    select * from {{ source('raw', 'pull_requests') }}

),

renamed as (

    select
        -- keys
        source,
        repository,
        pull_request_number,
        merge_commit_sha,
        author_key,

        -- kind
        merge_method,
        review_count,

        -- size
        files_changed,
        lines_added,
        lines_deleted,

        -- times
        first_commit_at,
        created_at,
        ready_at,
        first_review_at,
        approved_at,
        merged_at,
        closed_at

    from source

)

select * from renamed
