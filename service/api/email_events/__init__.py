"""The webhooks of email services: their secrets, their signatures, and what they say."""
