with source as (

    select * from {{ source('raw', 'change_paths') }}

),

renamed as (

    select
        source,
        commit_sha,
        path

    from source

)

select * from renamed
