with source as (

    select * from {{ source('raw', 'changes') }}

),

renamed as (

    select
        -- keys
        source,
        commit_sha,
        merge_commit_sha,
        mainline_position,
        repository,
        pull_request_number,

        -- kind
        change_type,
        is_merge,
        coalesce(is_revert, false) as is_revert,
        reverts_commit_sha,

        -- size
        files_changed,
        lines_added,
        lines_deleted,

        -- times
        authored_at,
        committed_at,
        merged_at

    from source

)

select * from renamed
