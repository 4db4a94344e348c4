"""The tri-plane network's other forms: kernels in C++, ONNX."""
