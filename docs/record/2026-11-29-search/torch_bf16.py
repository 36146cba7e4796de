"""The step of ../shared/peers/torch_net.py with its forward pass under autocast to bf16.
torch_bf16.py PATH/TO/torch_net.py NET BATCH THREADS SECS"""
import pathlib
import sys

import torch


def forward(model, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return model(x).float()


sys.argv = sys.argv[1:]
plain = "opt.zero_grad(set_to_none=True); e = m(x);"
source = pathlib.Path(sys.argv[0]).read_text()
assert plain in source, "the step is written differently"
exec(source.replace(plain, "opt.zero_grad(set_to_none=True); e = forward(m, x);"))
