"""The test kit: whole clusters in virtual time, made of the shipped core and models of the services around it."""
