"""Identity: what outlives a run. The matching itself is SQL, in dbt_project/models/identity."""
