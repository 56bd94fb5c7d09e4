"""The starter: bedtime stories and prompts written for this project, and the small model that learnt from them."""
