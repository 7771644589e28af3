"""The whole system on one machine: stand-ins for the parts that live in AWS and at StackState."""
