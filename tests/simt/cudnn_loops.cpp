// Compiled without sanitizers: the loops of the emulated cuDNN.
