"""The words all machines share: what happened (events), what is to be done (effects), what is waited for (timers).

Events are named in the past tense and are facts, effects in the imperative and are orders to the shell. Both are
frozen values, carry public data only (no secret key, no shared key), and repeat the id of what they belong to.
"""

from mina_webrtc.machines.vocab.base import *
from mina_webrtc.machines.vocab.effects import *
from mina_webrtc.machines.vocab.events import *
from mina_webrtc.machines.vocab.items import *
from mina_webrtc.machines.vocab.notices import *
from mina_webrtc.machines.vocab.settings import *
from mina_webrtc.machines.vocab.streams import *
