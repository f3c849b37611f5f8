"""Transform: dbt builds staging, identity and marts inside this process."""
