"""Tasks whose sources are programs: arnode makes instances, keeps time and checks answers."""
