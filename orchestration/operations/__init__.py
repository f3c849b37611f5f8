"""Operations: what runs did, whether the installation is sound, and what it may keep on disk."""
