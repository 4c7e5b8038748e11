-- A number leads to an author, so that the review of one pull request in a small group would be a mark for one person.
with pull_requests as (

    select
        source,
        repository,
        author_key,
        {{ period_start('quarter', day_of('created_at')) }} as created_quarter
    from {{ ref('stg_pull_requests') }}

)

select
    source,
    repository,
    created_quarter,
    count(distinct author_key) >= 5 as is_large
from pull_requests
group by source, repository, created_quarter
