"""Events, states and pictures to an MQTT broker, and commands from it. Needs paho-mqtt."""
