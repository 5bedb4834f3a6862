"""One thread a test process: on a busy machine two threads of small operators wait for each other."""

import torch

torch.set_num_threads(1)
