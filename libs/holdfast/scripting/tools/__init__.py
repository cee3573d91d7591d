"""Small programs that scripts find in `$SAFEBIN`, and call as `$SAFE/safekit -r NAME`."""
