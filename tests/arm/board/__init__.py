"""A board that starts from our own image, emulated: boots it, looks around in it, cuts its power."""
