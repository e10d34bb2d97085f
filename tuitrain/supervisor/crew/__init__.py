"""The workers as processes: started, listened to, judged and ended."""
