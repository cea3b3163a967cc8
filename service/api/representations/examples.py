"""Values that the examples of several answers share."""

USER_ID = "01936f3a-7c1e-7b52-9d3e-2a4f6c8e0b11"
MESSAGE_ID = "01937ab0-55d2-7c0f-8a61-0e9b7d2c4f35"
