from __future__ import annotations

from rsa_pool import rsa_keys_are_read_once as rsa_keys_are_read_once
